"""Units of work on real storage: everything between the archive's bytes and the published night.

Where do I go to ...?
    describe cameras and settings      tasks.site        (cameras.toml)
    know what travels between rooms    tasks.types       (frozen dataclasses)
    open a URL                         tasks.storage     (the only module that does)
    list and parse recorded files      tasks.archive
    decode video with timestamps       tasks.decode
    name a night                       tasks.nights
    fill slots with frames             tasks.slots
    split a night into work            tasks.plan, tasks.estimate
    write frames, receipts, manifests  tasks.store
    restore a work item                tasks.enhance (tasks.pipeline, and tasks.units for Prefect)
    list and read sharp footage        tasks.footage
    make pairs of it                   tasks.pairs
    train on, compare old and new      tasks.finetune, tasks.judge
    store and promote models           tasks.models
    publish a finished night           tasks.publish
    see what is done                   tasks.status
    make the preview or one clip       tasks.video
    judge against a known truth        tasks.evaluate
    make the report                    tasks.report, tasks.report_page, tasks.sheet
    draw the demo's archive            tasks.demo
"""
