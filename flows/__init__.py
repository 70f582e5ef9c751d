"""Orchestration: one file a flow, each reads like a runbook.

Where do I go to ...?
    run the overnight job        flows.enhance_night
    see new GoPro footage        flows.watch_gopro
    plan a night                 flows.planning
    see what Prefect shows of it flows.camera_tasks
    judge nights and report      flows.evaluate
    show a report in Prefect     flows.artifacts
    compare methods              flows.table
    see the demo                 flows.demo
    start a Prefect server       flows.engine, flows.server_database
    choose the workers           flows.clusters
    change what is told          flows.events
    register the deployments     flows.deploy
    make pairs of GoPro footage  flows.synthesize
    make a model of it           flows.retrain
    find a command               flows.cli, flows.*_commands
    keep the log honest          flows.logs
"""
