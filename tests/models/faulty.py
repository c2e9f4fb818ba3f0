"""A HEAR module that does on request what a module must not do."""

import torch


class Faulty(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 3

    def __init__(self, fault: str):
        super().__init__()
        self.fault = fault
        self.pretrained = fault != "untrained"
        if fault == "no rate":
            self.sample_rate = None
        if fault == "kHz":
            self.sample_rate = 16


def load_model(model_file_path: str = "", *, fault: str = "none") -> Faulty:
    if fault == "load":
        raise RuntimeError("size mismatch for\nencoder.weight")
    return "no model" if fault == "type" else Faulty(fault)


def get_scene_embeddings(audio: torch.Tensor, model: Faulty) -> torch.Tensor:
    if model.fault == "crash":
        raise RuntimeError("kernel too large")
    if model.fault == "large batch" and len(audio) > 3:
        raise RuntimeError("out of memory")
    embeddings = audio[:, :3].clone()
    if model.fault == "nan":
        embeddings[-1] = torch.nan
    if model.fault == "neighbours":
        embeddings += audio.mean()
    if model.fault == "random":
        embeddings += torch.rand_like(embeddings)
    if model.fault == "complex":
        return embeddings.to(torch.complex64)
    if model.fault == "quits":
        raise SystemExit("usage: faulty")
    if model.fault == "constant":
        embeddings[:] = 0.5
    return embeddings[:, :2] if model.fault == "size" else embeddings
