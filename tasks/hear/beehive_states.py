"""Beehive states: whether a hive has its queen; one task in two directories, each hive once the test."""

import dataclasses

from tasks.hear.info import TaskInfo, split_metadata

_SCORES = ("aucroc", "mAP", "d_prime", "top1_acc")

BEEHIVE_STATES_FOLD0 = TaskInfo(
    short_name="Beehive-0",
    metadata=split_metadata(
        *("beehive_states_fold0", "v2", "full"), sample_duration=600.0, evaluation=_SCORES
    ),
    clips=576,
    hours=96.0,
    classes=2,
    description="Presence of a beehive's queen, first split by hive",
    citation="nolasco2019audio",
    licence="see zenodo.org/record/2667806",
)

BEEHIVE_STATES_FOLD1 = dataclasses.replace(
    BEEHIVE_STATES_FOLD0,
    short_name="Beehive-1",
    metadata=dataclasses.replace(BEEHIVE_STATES_FOLD0.metadata, task_name="beehive_states_fold1"),
    description="Presence of a beehive's queen, second split by hive",
)
