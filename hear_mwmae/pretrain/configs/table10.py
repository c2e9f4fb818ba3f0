"""Table 10 and Figure 2d: shares of the pre-training data, with ViT-B; 100 epochs of each share.

    hear-mwmae pretrain --config table10:mw_mae_25_percent --data DIR --workdir W

A smaller share lies within every larger one. Its run takes fewer steps in its 100 epochs, as the paper says
nothing else.

run                        row                         parameters   published    FLOPs    H200  TPU v3-8
table10:mae_10_percent     10% MAE                         92.8 M  63.3 ± 0.2 7.75e+17   0.4 h     0.9 h
table10:mw_mae_10_percent  10% MW-MAE                      92.8 M  77.2 ± 0.3 7.49e+17   0.4 h     0.8 h
table10:mae_25_percent     25% MAE                         92.8 M  73.6 ± 0.2 1.94e+18   1.1 h     2.2 h
table10:mw_mae_25_percent  25% MW-MAE                      92.8 M  83.8 ± 0.2 1.88e+18   1.1 h     2.1 h
table10:mae_50_percent     50% MAE                         92.8 M  81.9 ± 0.2 3.88e+18   2.2 h     4.4 h
table10:mw_mae_50_percent  50% MW-MAE                      92.8 M  87.0 ± 0.2 3.75e+18   2.1 h     4.2 h
table10:mae_75_percent     75% MAE                         92.8 M  86.2 ± 0.2 5.83e+18   3.3 h     6.6 h
table10:mw_mae_75_percent  75% MW-MAE                      92.8 M  88.4 ± 0.2 5.63e+18   3.2 h     6.4 h
table10:mae_100_percent    100% MAE                        92.8 M  88.1 ± 0.2 7.77e+18   4.4 h     8.8 h
table10:mw_mae_100_percent 100% MW-MAE                     92.8 M  89.2 ± 0.2 7.50e+18   4.2 h     8.5 h
"""

from hear_mwmae.pretrain.configs.run import pair

RUNS = (
    pair("10_percent", "10%", (63.3, 0.2), (77.2, 0.3), data_fraction=0.1)
    | pair("25_percent", "25%", (73.6, 0.2), (83.8, 0.2), data_fraction=0.25)
    | pair("50_percent", "50%", (81.9, 0.2), (87.0, 0.2), data_fraction=0.5)
    | pair("75_percent", "75%", (86.2, 0.2), (88.4, 0.2), data_fraction=0.75)
    | pair("100_percent", "100%", (88.1, 0.2), (89.2, 0.2), data_fraction=1.0)
)
