"""Runs the steps of a plan: receives a Plan and a Context, hands out steps and says how each ended.

`driver.py` has the loop and the `Executor` that each backend implements, `choose.py` opens one.
"""
