from diskcache import Cache

with Cache("cache") as cache:
    for number in range(40):
        cache[f"key{number}"] = number
        print("done", f"key{number}", flush=True)
