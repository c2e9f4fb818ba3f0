"""Table 5: ViT-M on ImageNet, a proof of concept to which the paper gives two sentences (appendix D).

    hear-mwmae prepare PICTURES --images --out DIR
    hear-mwmae pretrain --config table5:mw_mae_m --data DIR --workdir W

The paper gives no sizes but the encoder's. These are this project's choice: pictures of 224 x 224 pixels in
patches of 16 x 16, hence 196 tokens, 39 of them kept. A picture is handled as 224 rows of 672 numbers, red,
green and blue of each column side by side, and a patch as 16 x 48 of them. The window rule gives 196 tokens
seven windows and two global heads; the decoder is 432 = 9 x 48 wide, for the plain MAE too. All other
settings are those for sound. The score is the accuracy of a linear probe in %, after 50 epochs of probing.

run                        row                         parameters   published    FLOPs    H200  TPU v3-8
table5:mae_m               MAE Medium Encoder              47.9 M  29.0 ± 0.0 2.70e+18   1.5 h     3.1 h
table5:mw_mae_m            MW-MAE Medium Encoder           47.9 M  29.8 ± 0.0 2.60e+18   1.5 h     2.9 h
"""

from hear_mwmae.config import ModelConfig
from hear_mwmae.pretrain.configs.run import ENCODERS, Run, Score, both, scores
from hear_mwmae.pretrain.settings import TrainConfig

IMAGENET_PICTURES = 1_281_167
NOTE = "The paper gives no sizes for ImageNet; picture, patch and decoder sizes are this project's choice."

MAE, MW_MAE = both(
    ModelConfig(
        input_size=(224, 672),
        patch_size=(16, 48),
        front_end="rgb_224",
        decoder_width=432,
        **ENCODERS["m"],
    )
)


def _run(model: ModelConfig, row: str, accuracy: Score) -> Run:
    published = scores("imagenet_linear_probe_acc", accuracy)
    return Run(TrainConfig(model), row, published, NOTE, IMAGENET_PICTURES)


RUNS = {
    "mae_m": _run(MAE, "MAE Medium Encoder", (29.0, 0.0)),
    "mw_mae_m": _run(MW_MAE, "MW-MAE Medium Encoder", (29.8, 0.0)),
}
