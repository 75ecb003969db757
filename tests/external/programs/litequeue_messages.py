from litequeue import LiteQueue

queue = LiteQueue("queue.db")
for number in range(40):
    message = queue.put(f"job {number}")
    print("done", message.message_id, flush=True)
