from requests_cache.backends.sqlite import SQLiteDict

cache = SQLiteDict("http_cache", "responses")
for number in range(40):
    cache[f"key{number}"] = f"body {number}"
    print("done", f"key{number}", flush=True)
