"""Schedules: one actor runs at a time, and an injected `decide` says who.

`decide` is the contract: what a point is, who can run, what ends a grant. `turns` keeps it for threads of one
process; a coordinator keeps it for processes. Nothing here chooses, injects or judges.
"""
