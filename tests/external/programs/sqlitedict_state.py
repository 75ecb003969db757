from sqlitedict import SqliteDict

with SqliteDict("state.sqlite") as state:
    for number in range(40):
        state[f"key{number}"] = number
        state.commit()
        print("done", f"key{number}", flush=True)
