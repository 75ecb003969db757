"""Five tiny broken subjects and their twins: a lab that does not catch these has nothing to say.

`registry.CONTROLS` lists them, `run.run_controls` runs them; every gate does so before it judges anything.
"""
