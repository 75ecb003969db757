from persistqueue import SQLiteQueue

queue = SQLiteQueue("queue", auto_commit=True)
for number in range(40):
    queue.put(number)
    print("done", number + 1, flush=True)
