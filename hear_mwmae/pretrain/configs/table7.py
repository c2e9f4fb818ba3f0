"""Table 7 and Figure 2a: patch sizes, with ViT-B and as many decoder heads as a patch size has windows.

    hear-mwmae pretrain --config table7:mw_mae_5x5 --data DIR --workdir W

run                        row                         parameters   published    FLOPs    H200  TPU v3-8
table7:mae_8x16            8x16 MAE                        92.7 M  85.9 ± 0.3 3.87e+18   2.2 h     4.4 h
table7:mw_mae_8x16         8x16 MW-MAE                     92.7 M  88.0 ± 0.2 3.73e+18   2.1 h     4.2 h
table7:mae_4x16            4x16 MAE                        92.8 M  88.1 ± 0.2 7.77e+18   4.4 h     8.8 h
table7:mw_mae_4x16         4x16 MW-MAE                     92.8 M  89.2 ± 0.2 7.50e+18   4.2 h     8.5 h
table7:mae_8x8             8x8 MAE                         92.8 M  87.7 ± 0.2 7.77e+18   4.4 h     8.8 h
table7:mw_mae_8x8          8x8 MW-MAE                      92.8 M  89.4 ± 0.1 7.50e+18   4.2 h     8.5 h
table7:mae_4x8             4x8 MAE                         93.1 M  87.2 ± 0.1 1.60e+19   9.0 h    18.1 h
table7:mw_mae_4x8          4x8 MW-MAE                      93.1 M  90.3 ± 0.2 1.52e+19   8.5 h    17.1 h
table7:mae_5x5             5x5 MAE                         93.2 M  86.8 ± 0.2 2.09e+19  11.7 h    23.5 h
table7:mw_mae_5x5          5x5 MW-MAE                      93.2 M  90.6 ± 0.1 1.95e+19  11.0 h    22.0 h
"""

from hear_mwmae.pretrain.configs.run import pair

RUNS = (
    pair("8x16", "8x16", (85.9, 0.3), (88.0, 0.2), patch_size=(8, 16))
    | pair("4x16", "4x16", (88.1, 0.2), (89.2, 0.2), patch_size=(4, 16))
    | pair("8x8", "8x8", (87.7, 0.2), (89.4, 0.1), patch_size=(8, 8))
    | pair("4x8", "4x8", (87.2, 0.1), (90.3, 0.2), patch_size=(4, 8))
    | pair("5x5", "5x5", (86.8, 0.2), (90.6, 0.1), patch_size=(5, 5))
)
