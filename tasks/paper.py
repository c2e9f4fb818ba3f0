"""The ten tasks of the MW-MAE paper, in the order of its Table 1, and all nineteen of HEAR."""

from tasks.beehive_states import BEEHIVE_STATES_FOLD0, BEEHIVE_STATES_FOLD1
from tasks.beijing_opera import BEIJING_OPERA
from tasks.crema_d import CREMA_D
from tasks.dcase2016_task2 import DCASE2016_TASK2
from tasks.esc50 import ESC50
from tasks.fsd50k import FSD50K
from tasks.gtzan import GTZAN
from tasks.gtzan_music_speech import GTZAN_MUSIC_SPEECH
from tasks.gunshot_triangulation import GUNSHOT_TRIANGULATION
from tasks.libricount import LIBRICOUNT
from tasks.maestro import MAESTRO
from tasks.mridangam_stroke import MRIDANGAM_STROKE
from tasks.mridangam_tonic import MRIDANGAM_TONIC
from tasks.nsynth_pitch import NSYNTH_PITCH
from tasks.nsynth_pitch_50h import NSYNTH_PITCH_50H
from tasks.speech_commands import SPEECH_COMMANDS
from tasks.speech_commands_full import SPEECH_COMMANDS_FULL
from tasks.vocal_imitation import VOCAL_IMITATION
from tasks.vox_lingua import VOX_LINGUA

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
