"""Orchestration: one file a flow, each reads like a runbook.

Where do I go to ...?
    run the overnight job        flows.enhance_night
    make the morning's report    flows.evaluate
    make pairs of GoPro footage  flows.synthesize
    make a model of it           flows.retrain
    see the demo                 flows.demo
    start servers and workers    flows.engine
    find a command               flows.cli, flows.model_commands
"""
