"""A plain function as the program under test: sent to a Python started clean, and called there.

- `ship`: a function and its arguments as bytes, closures included; the user's modules are named, not copied.
- `places`: what a writer may ask for by the name of a parameter.
- `child`: what that Python runs: it reads the bytes, calls the function, and logs what it promises.
"""
