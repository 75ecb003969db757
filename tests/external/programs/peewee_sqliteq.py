from peewee import CharField, Model
from playhouse.sqliteq import SqliteQueueDatabase

db = SqliteQueueDatabase("app.db")
Job = type("Job", (Model,), {"name": CharField(), "Meta": type("Meta", (), {"database": db})})
db.create_tables([Job])
for number in range(40):
    job = Job.create(name=f"job{number}")
    print("done", job.name, flush=True)
db.stop()
