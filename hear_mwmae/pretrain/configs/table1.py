"""Table 1: the six models that are compared with other systems, named as their HEAR modules are.

    hear-mwmae pretrain --config table1:mw_mae_b --data DIR --workdir W

The paper trained its default configuration in about 36 hours on a TPU v3-8 (section 4.2), at some 12 % of
the machine's peak. ViT-L took a smaller batch there, which is not stated (Table 4's footnote); here 1024.

run                        row                         parameters   published    FLOPs    H200  TPU v3-8
table1:mae_b               MAE-B-4x16-4l                   92.8 M  88.1 ± 0.2 7.77e+18   4.4 h     8.8 h
table1:mae_b_5x5           MAE-B-5x5-4l                    93.2 M  86.8 ± 0.2 2.09e+19  11.7 h    23.5 h
table1:mae_l_8l            MAE-L-4x16-8l                  317.3 M  90.0 ± 0.2 2.38e+19  13.4 h    26.8 h
table1:mw_mae_b            MW-MAE-B-4x16-4l                92.8 M  89.2 ± 0.2 7.50e+18   4.2 h     8.5 h
table1:mw_mae_b_5x5        MW-MAE-B-5x5-4l                 93.2 M  90.6 ± 0.1 1.95e+19  11.0 h    22.0 h
table1:mw_mae_l_8l         MW-MAE-L-4x16-8l               317.3 M  92.6 ± 0.2 2.31e+19  13.0 h    26.1 h
"""

from hear_mwmae.config import NAMED_MODELS
from hear_mwmae.pretrain.configs.run import LARGE_NOTE, Run, Score, scores
from hear_mwmae.pretrain.settings import TrainConfig


def _run(name: str, score: Score, note: str = "") -> Run:
    model = NAMED_MODELS[name]
    return Run(TrainConfig(model.config), model.row, scores("s(m)", score), note)


RUNS = {
    "mae_b": _run("mae_b", (88.1, 0.2)),
    "mae_b_5x5": _run("mae_b_5x5", (86.8, 0.2)),
    "mae_l_8l": _run("mae_l_8l", (90.0, 0.2), LARGE_NOTE),
    "mw_mae_b": _run("mw_mae_b", (89.2, 0.2)),
    "mw_mae_b_5x5": _run("mw_mae_b_5x5", (90.6, 0.1)),
    "mw_mae_l_8l": _run("mw_mae_l_8l", (92.6, 0.2), LARGE_NOTE),
}
