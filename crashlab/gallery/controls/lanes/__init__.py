"""Small programs of several lanes, each with one planted bug that only an interleaving shows, and their twins.

Every one is correct when its lanes run one after another, in any order. `registry.LANE_CONTROLS` lists them.
"""
