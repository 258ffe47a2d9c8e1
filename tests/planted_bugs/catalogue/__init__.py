"""The bugs that are planted: defects read in public code of GQN, CGQN, SLIM and neural processes, by layer."""

from tests.planted_bugs.catalogue import comparison, data, evaluation, interfaces, models, training

BUGS = (
    *data.BUGS,
    *models.BUGS,
    *training.BUGS,
    *evaluation.BUGS,
    *comparison.BUGS,
    *interfaces.BUGS,
)
