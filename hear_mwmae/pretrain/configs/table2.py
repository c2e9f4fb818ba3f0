"""Table 2: windows in the decoder only, or in the encoder too.

    hear-mwmae pretrain --config table2:mw_mae_b_encoder --data DIR --workdir W

The paper does not give the encoder's windows. They must divide both the 50 tokens that pre-training keeps and
the 250 that embedding encodes; here each common divisor serves two of the 12 heads, and two are global. That
is this project's choice. Linear probe and fine-tuning on AudioSet-20k are in `RUNS` too, in mAP.

run                        row                         parameters   published    FLOPs    H200  TPU v3-8
table2:mae_b               MAE Base                        92.8 M  88.1 ± 0.2 7.77e+18   4.4 h     8.8 h
table2:mw_mae_b            MW-MAE Base (decoder only)      92.8 M  89.2 ± 0.2 7.50e+18   4.2 h     8.5 h
table2:mw_mae_b_encoder    MW-MAE Base (enc+dec)           92.8 M  89.1 ± 0.3 7.47e+18   4.2 h     8.4 h
"""

import dataclasses

from hear_mwmae.config import ModelConfig
from hear_mwmae.pretrain.configs.run import Run, Score, both, scores
from hear_mwmae.pretrain.settings import TrainConfig

ENCODER_WINDOWS = (2, 2, 5, 5, 10, 10, 25, 25, 50, 50, 0, 0)
NOTE = "The paper does not give the encoder's windows; these are this project's choice."


def _run(model: ModelConfig, row: str, score: Score, linear: Score, tuned: Score, note: str = "") -> Run:
    published = scores("s(m)", score) | scores("linear_probe_map", linear) | scores("finetune_map", tuned)
    return Run(TrainConfig(model), row, published, note)


MAE, MW_MAE = both(ModelConfig())
MW_MAE_ENCODER = dataclasses.replace(MW_MAE, encoder_windows=ENCODER_WINDOWS)

RUNS = {
    "mae_b": _run(MAE, "MAE Base", (88.1, 0.2), (18.9, 0.0), (23.8, 0.1)),
    "mw_mae_b": _run(MW_MAE, "MW-MAE Base (decoder only)", (89.2, 0.2), (20.2, 0.0), (23.9, 0.1)),
    "mw_mae_b_encoder": _run(
        MW_MAE_ENCODER, "MW-MAE Base (enc+dec)", (89.1, 0.3), (20.2, 0.0), (24.2, 0.1), NOTE
    ),
}
