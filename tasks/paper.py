"""The ten tasks of the MW-MAE paper, in the order of its Table 1."""

from tasks.beijing_opera import BEIJING_OPERA
from tasks.crema_d import CREMA_D
from tasks.esc50 import ESC50
from tasks.fsd50k import FSD50K
from tasks.libricount import LIBRICOUNT
from tasks.mridangam_stroke import MRIDANGAM_STROKE
from tasks.mridangam_tonic import MRIDANGAM_TONIC
from tasks.nsynth_pitch import NSYNTH_PITCH
from tasks.speech_commands import SPEECH_COMMANDS
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
