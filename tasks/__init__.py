"""Units of work on real storage: everything between the archive's bytes and the published night.

Where do I go to ...?
    describe cameras and settings      tasks.site        (cameras.toml)
    know what travels between rooms    tasks.types       (frozen dataclasses)
    open a URL                         tasks.storage     (the only module that does), tasks.ranged
    list what lies below it            tasks.listing
    tell a store's fault from a file's tasks.faults
    list and parse recorded files      tasks.archive
    decode video with timestamps       tasks.decode
    decode in a process that may die   tasks.decode_process, tasks.decode_worker
    name a night                       tasks.nights
    fill slots with frames             tasks.slots
    split a night into work            tasks.plan, tasks.estimate, tasks.deadline
    write frames, receipts, manifests  tasks.store
    choose how frames are stored       tasks.codecs, tasks.image_codecs
    keep plans out of memory           tasks.shelf
    end a worker that hangs            tasks.stall
    spare a worker's memory            tasks.worker_memory
    restore a work item                tasks.enhance (tasks.pipeline, and tasks.units for Dask)
    restore video steadily             tasks.steady
    list and read sharp footage        tasks.footage
    make pairs of it                   tasks.pairs
    train on, compare old and new      tasks.finetune, tasks.promotion
    store and promote models           tasks.models
    publish a finished night           tasks.publish
    see what is done                   tasks.status, tasks.outcome
    write logs of a work item          tasks.logs
    count for Prometheus               tasks.meters
    find GoPro footage that landed     tasks.landed
    keep two operators apart           tasks.lease
    prove and repair a night           tasks.verify
    free space                         tasks.collect
    keep what can be made again        tasks.cache
    make the preview or one clip       tasks.video
    judge against a known truth        tasks.evaluate
    measure a camera's night           tasks.camera_facts (tasks.signs, tasks.timeline, tasks.evidence)
    judge by synthesised nights        tasks.synthesised
    keep facts of nights               tasks.facts
    find what is wrong with a camera   tasks.health, tasks.trends (tasks.findings, in words tasks.wording)
    sum nights up and judge them       tasks.aggregate, tasks.judge
    make the report                    tasks.report, tasks.report_*, tasks.page_*, tasks.sheet
    draw the demo's archive            tasks.demo
"""
