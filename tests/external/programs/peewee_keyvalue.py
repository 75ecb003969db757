from peewee import SqliteDatabase
from playhouse.kv import KeyValue

state = KeyValue(database=SqliteDatabase("state.db"))
for number in range(40):
    state[f"key{number}"] = number
    print("done", f"key{number}", flush=True)
