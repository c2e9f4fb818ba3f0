"""The ten tasks of the MW-MAE paper, in the order of its Table 1, and all nineteen of HEAR."""

from tasks.hear.beehive_states import BEEHIVE_STATES_FOLD0, BEEHIVE_STATES_FOLD1
from tasks.hear.beijing_opera import BEIJING_OPERA
from tasks.hear.crema_d import CREMA_D
from tasks.hear.dcase2016_task2 import DCASE2016_TASK2
from tasks.hear.esc50 import ESC50
from tasks.hear.fsd50k import FSD50K
from tasks.hear.gtzan import GTZAN
from tasks.hear.gtzan_music_speech import GTZAN_MUSIC_SPEECH
from tasks.hear.gunshot_triangulation import GUNSHOT_TRIANGULATION
from tasks.hear.libricount import LIBRICOUNT
from tasks.hear.maestro import MAESTRO
from tasks.hear.mridangam_stroke import MRIDANGAM_STROKE
from tasks.hear.mridangam_tonic import MRIDANGAM_TONIC
from tasks.hear.nsynth_pitch import NSYNTH_PITCH
from tasks.hear.nsynth_pitch_50h import NSYNTH_PITCH_50H
from tasks.hear.speech_commands import SPEECH_COMMANDS
from tasks.hear.speech_commands_full import SPEECH_COMMANDS_FULL
from tasks.hear.vocal_imitation import VOCAL_IMITATION
from tasks.hear.vox_lingua import VOX_LINGUA

PAPER_TASKS = (
    BEIJING_OPERA,
    CREMA_D,
    ESC50,
    LIBRICOUNT,
    MRIDANGAM_STROKE,
    MRIDANGAM_TONIC,
    NSYNTH_PITCH,
    SPEECH_COMMANDS,
    FSD50K,
    VOX_LINGUA,
)

HEAR19_TASKS = (
    *PAPER_TASKS,
    NSYNTH_PITCH_50H,
    SPEECH_COMMANDS_FULL,
    DCASE2016_TASK2,
    MAESTRO,
    GUNSHOT_TRIANGULATION,
    GTZAN,
    GTZAN_MUSIC_SPEECH,
    VOCAL_IMITATION,
    BEEHIVE_STATES_FOLD0,
    BEEHIVE_STATES_FOLD1,
)
"""HEAR's nineteen tasks in twenty directories: the beehive is one task, whose two folds HEAR keeps apart."""
