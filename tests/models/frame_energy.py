"""A HEAR module for tasks of events: log energy in 32 bands, every 25 ms; faults on request."""

import torch


class FrameEnergy(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 32
    timestamp_embedding_size = 32

    def __init__(self, fault: str):
        super().__init__()
        self.fault = fault
        if fault == "no size":
            self.timestamp_embedding_size = None

    def forward(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        audio = torch.nn.functional.pad(audio, (256, 256))
        power = torch.fft.rfft(audio.unfold(1, 512, 400) * torch.hann_window(512)).abs().square()[..., 1:]
        frames = (power.unflatten(-1, (32, 8)).sum(-1) + 1e-3).log()
        times = 25.0 * torch.arange(frames.shape[1])
        return frames, times.expand(len(frames), -1)


def load_model(model_file_path: str = "", *, fault: str = "none") -> FrameEnergy:
    return FrameEnergy(fault)


def get_scene_embeddings(audio: torch.Tensor, model: FrameEnergy) -> torch.Tensor:
    return model(audio)[0].mean(1)


def get_timestamp_embeddings(audio: torch.Tensor, model: FrameEnergy) -> tuple[torch.Tensor, torch.Tensor]:
    frames, times = model(audio)
    if model.fault == "crash":
        raise RuntimeError("kernel too large")
    if model.fault == "one by one" and len(audio) > 1:
        raise RuntimeError("one clip at a time")
    if model.fault == "large batch" and len(audio) > 3:
        raise RuntimeError("out of memory")
    if model.fault == "neighbours":
        frames = frames + frames.mean()
    if model.fault == "shifted times":
        times = times + 10 * len(audio)
    if model.fault in ("seconds", "samples", "half"):
        times = times * {"seconds": 0.001, "samples": 16, "half": 0.5}[model.fault]
    if model.fault == "late":
        times = times + 1000 * audio.shape[1] / 16000
    if model.fault == "nan":
        frames[-1, 3] = torch.nan
    if model.fault == "size":
        frames = frames[..., :2]
    if model.fault == "flat":
        frames = frames.mean(1)
    if model.fault == "times":
        times = times[:, :-1]
    if model.fault == "order":
        times = times.flip(1)
    if model.fault == "infinite times":
        times = times + torch.inf
    return frames, times
