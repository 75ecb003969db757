from sqlite_utils import Database

db = Database("data.db")
for number in range(40):
    db["orders"].insert({"id": f"order{number}", "amount": number}, pk="id")
    print("done", f"order{number}", flush=True)
