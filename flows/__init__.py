"""Orchestration: one file a flow, each reads like a runbook.

Where do I go to ...?
    run the overnight job        flows.enhance_night
    judge nights and report      flows.evaluate
    see the demo                 flows.demo
    start servers and workers    flows.engine
    compare methods              flows.table
    find a command               flows.cli
"""
