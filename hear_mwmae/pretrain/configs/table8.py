"""Table 8 and Figure 2b: encoder sizes, with a decoder of 4 blocks.

    hear-mwmae pretrain --config table8:mw_mae_l --data DIR --workdir W

ViT-L and ViT-H took a smaller batch in the paper, which is not stated (Table 4's footnote); here it is 1024.

run                        row                         parameters   published    FLOPs    H200  TPU v3-8
table8:mae_t               ViT-T MAE                       12.7 M  77.6 ± 0.3 2.76e+18   1.5 h     3.1 h
table8:mw_mae_t            ViT-T MW-MAE                    12.7 M  79.0 ± 0.3 2.59e+18   1.5 h     2.9 h
table8:mae_m               ViT-M MAE                       45.4 M  85.3 ± 0.2 4.81e+18   2.7 h     5.4 h
table8:mw_mae_m            ViT-M MW-MAE                    45.4 M  87.5 ± 0.2 4.60e+18   2.6 h     5.2 h
table8:mae_b               ViT-B MAE                       92.8 M  88.1 ± 0.2 7.77e+18   4.4 h     8.8 h
table8:mw_mae_b            ViT-B MW-MAE                    92.8 M  89.2 ± 0.2 7.50e+18   4.2 h     8.5 h
table8:mae_l               ViT-L MAE                      310.2 M  88.3 ± 0.2 2.14e+19  12.0 h    24.1 h
table8:mw_mae_l            ViT-L MW-MAE                   310.2 M  92.3 ± 0.2 2.08e+19  11.7 h    23.5 h
table8:mae_h               ViT-H MAE                      637.8 M  86.9 ± 0.1 4.18e+19  23.5 h    47.2 h
table8:mw_mae_h            ViT-H MW-MAE                   637.8 M  91.1 ± 0.2 4.09e+19  23.0 h    46.2 h
"""

from hear_mwmae.pretrain.configs.run import ENCODERS, LARGE_NOTE, pair

RUNS = (
    pair("t", "ViT-T", (77.6, 0.3), (79.0, 0.3), **ENCODERS["t"])
    | pair("m", "ViT-M", (85.3, 0.2), (87.5, 0.2), **ENCODERS["m"])
    | pair("b", "ViT-B", (88.1, 0.2), (89.2, 0.2), **ENCODERS["b"])
    | pair("l", "ViT-L", (88.3, 0.2), (92.3, 0.2), note=LARGE_NOTE, **ENCODERS["l"])
    | pair("h", "ViT-H", (86.9, 0.1), (91.1, 0.2), note=LARGE_NOTE, **ENCODERS["h"])
)
