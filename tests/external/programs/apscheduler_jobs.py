from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler(timezone="UTC")
scheduler.add_jobstore("sqlalchemy", url="sqlite:///jobs.sqlite")
scheduler.start(paused=True)
for number in range(40):
    job = scheduler.add_job(print, "interval", hours=1, id=f"job{number}")
    print("done", job.id, flush=True)
scheduler.shutdown()
