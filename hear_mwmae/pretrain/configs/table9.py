"""Table 9 and Figure 2c: decoder depths, with ViT-B.

    hear-mwmae pretrain --config table9:mw_mae_8_blocks --data DIR --workdir W

run                        row                         parameters   published    FLOPs    H200  TPU v3-8
table9:mae_1_block         Depth 1 MAE                     87.5 M  86.1 ± 0.2 5.97e+18   3.4 h     6.7 h
table9:mw_mae_1_block      Depth 1 MW-MAE                  87.5 M  87.8 ± 0.2 5.82e+18   3.3 h     6.6 h
table9:mae_2_blocks        Depth 2 MAE                     89.3 M  87.3 ± 0.1 6.57e+18   3.7 h     7.4 h
table9:mw_mae_2_blocks     Depth 2 MW-MAE                  89.3 M  88.3 ± 0.3 6.38e+18   3.6 h     7.2 h
table9:mae_4_blocks        Depth 4 MAE                     92.8 M  88.1 ± 0.2 7.77e+18   4.4 h     8.8 h
table9:mw_mae_4_blocks     Depth 4 MW-MAE                  92.8 M  89.2 ± 0.2 7.50e+18   4.2 h     8.5 h
table9:mae_8_blocks        Depth 8 MAE                     99.9 M  88.2 ± 0.1 1.02e+19   5.7 h    11.5 h
table9:mw_mae_8_blocks     Depth 8 MW-MAE                  99.9 M  89.9 ± 0.2 9.74e+18   5.5 h    11.0 h
"""

from hear_mwmae.pretrain.configs.run import pair

RUNS = (
    pair("1_block", "Depth 1", (86.1, 0.2), (87.8, 0.2), decoder_depth=1)
    | pair("2_blocks", "Depth 2", (87.3, 0.1), (88.3, 0.3), decoder_depth=2)
    | pair("4_blocks", "Depth 4", (88.1, 0.2), (89.2, 0.2), decoder_depth=4)
    | pair("8_blocks", "Depth 8", (88.2, 0.1), (89.9, 0.2), decoder_depth=8)
)
