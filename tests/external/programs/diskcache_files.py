from diskcache import Cache

with Cache(".") as cache:
    for number in range(8):
        cache[f"key{number}"] = bytes([number]) * 33_000
        print("done", f"key{number}", flush=True)
