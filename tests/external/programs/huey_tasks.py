from huey import SqliteHuey

huey = SqliteHuey(filename="tasks.db")


@huey.task()
def add(number):
    return number + 1


for number in range(40):
    task = add(number)
    print("done", task.id, flush=True)
