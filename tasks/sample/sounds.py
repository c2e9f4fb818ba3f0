"""What is heard in the sample tasks: one function per task, (subject, generator) -> sound at 44.1 kHz.

The sounds are caricatures of the real ones with spread-out, overlapping parameters, noise and level, so
that a good representation scores clearly above chance and below the ceiling.
"""

import numpy as np
from numpy.random import Generator

from tasks.sample.synthesis import (
    CONSONANTS,
    PHONES,
    RATE,
    VOWELS,
    Sound,
    clock,
    fade,
    level,
    noise,
    partials,
    place,
    smooth_path,
    speak,
)

SECONDS = 1.9
"""Length of the clips of tasks whose real ones are longer."""

EMOTIONS = {  # pitch factor, pitch range, syllables per second, effort, loudness in dB
    "ANG": (1.25, 0.25, 5.0, 0.42, 5.0),
    "DIS": (0.92, 0.15, 3.6, 0.60, 0.0),
    "FEA": (1.35, 0.12, 5.4, 0.66, 0.0),
    "HAP": (1.25, 0.32, 4.6, 0.55, 3.0),
    "NEU": (1.0, 0.08, 4.2, 0.60, 0.0),
    "SAD": (0.93, 0.06, 3.2, 0.78, -4.0),
}
STROKES = {  # weight of the bass head, weights of the treble head's harmonics 1..5, decay in s, noise
    "bheem": (1.0, (0.1, 0.2, 0.1, 0.0, 0.0), 0.30, 0.1),
    "cha": (0.0, (0.1, 0.9, 0.5, 0.4, 0.3), 0.10, 0.3),
    "dheem": (0.8, (0.2, 1.0, 0.4, 0.2, 0.1), 0.35, 0.1),
    "dhin": (0.0, (0.2, 1.0, 0.3, 0.2, 0.1), 0.35, 0.1),
    "num": (0.0, (1.0, 0.5, 0.3, 0.3, 0.2), 0.22, 0.1),
    "ta": (0.0, (0.3, 0.3, 0.4, 0.3, 0.3), 0.03, 0.9),
    "tha": (0.5, (0.0, 0.1, 0.0, 0.0, 0.0), 0.04, 0.8),
    "tham": (0.5, (0.3, 1.0, 0.5, 0.3, 0.1), 0.20, 0.4),
    "thi": (0.0, (0.4, 0.2, 0.2, 0.1, 0.1), 0.04, 0.7),
    "thom": (1.0, (0.0, 0.1, 0.0, 0.0, 0.0), 0.22, 0.2),
}
TONICS = {"b": 59, "c": 60, "csh": 61, "d": 62, "dsh": 63, "e": 64}
WORDS = {
    "down": "daun",
    "go": "gou",
    "left": "left",
    "no": "nou",
    "off": "Of",
    "on": "On",
    "right": "rait",
    "stop": "stOp",
    "up": "@p",
    "yes": "ies",
}
LANGUAGES = ("ar", "de", "en", "es", "fr", "ja", "pl", "pt", "ru", "zh")


def percussion(subject: tuple[str, ...], rng: Generator) -> Sound:
    """Beijing opera: one or two strokes of a clapper drum, two gongs or cymbals."""
    instrument, start = subject[0], rng.uniform(0.0, 0.3)
    strokes = [(start, _stroke(instrument, rng))]
    if rng.random() < 0.4:
        strokes.append((start + rng.uniform(0.3, 0.8), 0.7 * _stroke(instrument, rng)))
    return _record(place(strokes, SECONDS), rng, snr=(0, 14))


def emotion(subject: tuple[str, ...], rng: Generator) -> Sound:
    """CREMA-D: a sentence of random syllables; pitch, range, tempo, effort and loudness carry the emotion."""
    factor, spread, tempo, effort, loudness = EMOTIONS[subject[0]]
    pitch = rng.uniform(95, 230) * factor * rng.uniform(0.9, 1.1)
    voice = _babble(
        rng,
        pitch=pitch,
        spread=spread * rng.uniform(0.6, 1.4),
        tempo=tempo * rng.uniform(0.8, 1.2),
        effort=np.clip(effort + rng.normal(0, 0.06), 0.3, 0.9),
        vowels="iIeaAou@",
        consonants="stdnlrfp",
    )
    return _record(voice, rng, snr=(12, 25), gain=10 ** (loudness / 20))


def environment(subject: tuple[str, ...], rng: Generator) -> Sound:
    """ESC-50: one environmental sound."""
    return _record(_SOURCES[subject[0]](rng, SECONDS), rng, snr=(-2, 12))


def crowd(subject: tuple[str, ...], rng: Generator) -> Sound:
    """LibriCount: `subject` voices at once, all equally loud, in room noise."""
    voices = [level(_speaker(rng)) for _ in range(int(subject[0]))]
    room = noise(SECONDS, rng, (40, 6000), slope=1.0) * 10 ** (rng.uniform(-22, -12) / 20)
    return level(sum(voices, room), 0.1 * 10 ** (rng.uniform(-6, 6) / 20))


def drum(subject: tuple[str, ...], rng: Generator) -> Sound:
    """Mridangam: a stroke on a drum of a tonic, `subject` = (stroke, tonic)."""
    stroke, tonic = subject
    bass, harmonics, decay, slap = STROKES[stroke]
    pitch = 440 * 2 ** ((TONICS[tonic] - 69 + rng.normal(0, 0.12)) / 12)
    decay *= rng.uniform(0.6, 1.5)
    weights = np.array(harmonics) * 10 ** rng.normal(0, 0.2, 5)
    orders = np.arange(1, 6) * (1 + rng.normal(0, 0.004, 5))
    tone = partials(pitch * orders, weights, decay / np.sqrt(np.arange(1, 6)), 0.81, rng)
    low = partials([pitch / 2.7, pitch / 1.7], [bass, 0.4 * bass], [decay, decay / 2], 0.81, rng, glide=0.15)
    hit = noise(0.81, rng, (500, 7000)) * np.exp(-clock(0.81) / rng.uniform(0.006, 0.016)) * slap
    return _record(place([(rng.uniform(0, 0.02), tone + low + hit)], 0.81), rng, snr=(0, 15))


def note(subject: tuple[str, ...], rng: Generator) -> Sound:
    """NSynth: one note of MIDI number `subject` from a random instrument."""
    pitch = 440 * 2 ** ((int(subject[0]) - 69 + rng.normal(0, 0.08)) / 12)
    order = np.arange(1, 13)
    weights = order ** -rng.uniform(0.4, 2.0) * 10 ** rng.normal(0, 0.25, 12)
    weights[1::2] *= rng.choice([0.1, 1.0, 1.0])
    stretch = np.sqrt(1 + rng.choice([0, 1e-4, 6e-4]) * order**2)
    decay = rng.choice([0.3, 0.8, 4.0]) / (1 + 0.1 * order)
    tone = partials(pitch * order * stretch, weights, decay, SECONDS, rng, glide=rng.choice([0, 0, 0.01]))
    attack = -np.expm1(-clock(SECONDS) / rng.choice([0.003, 0.02, 0.1]))
    release = clock(SECONDS)[::-1] < SECONDS - rng.uniform(1.2, SECONDS)
    return _record(fade(tone * attack) * np.where(release, 0.1, 1.0), rng, snr=(4, 25))


def command(subject: tuple[str, ...], rng: Generator) -> Sound:
    """Speech Commands: a word, another word, or background noise, in one second."""
    word = subject[0]
    if word == "_silence_":
        return _record(noise(1.0, rng, (60, 6000), slope=rng.uniform(0, 2)), rng, snr=(0, 20))
    spelling = WORDS.get(word) or "".join(rng.choice(list(PHONES), rng.integers(2, 5)))
    tempo = rng.uniform(0.8, 1.3)
    phones = [(PHONES[p], (0.06 if p in CONSONANTS else 0.13) * tempo) for p in spelling]
    seconds = sum(length for _, length in phones) + 0.02
    base = rng.uniform(90, 230)
    pitch = base * (1 + 0.12 * smooth_path(rng, seconds, 3)) * np.linspace(1.08, 0.92, round(seconds * RATE))
    spoken = speak(phones, pitch, rng, tract=_tract(base, rng), effort=rng.uniform(0.5, 0.7))
    return _record(place([(rng.uniform(0.05, 0.3), spoken)], 1.0), rng, snr=(5, 20))


def scene(subject: tuple[str, ...], rng: Generator) -> Sound:
    """FSD50K: every sound of `subject` together, in a clip of 0.3 to 1.9 s."""
    seconds = rng.uniform(0.3, SECONDS) if len(subject) == 1 else rng.uniform(0.8, SECONDS)
    heard = [level(_SOURCES[label](rng, seconds)) * 10 ** (rng.uniform(-4, 4) / 20) for label in subject]
    return _record(sum(heard, np.zeros_like(heard[0])), rng, snr=(5, 25))


def language(subject: tuple[str, ...], rng: Generator) -> Sound:
    """VoxLingua107: speech with the vowels, consonants, rhythm and melody of an invented language."""
    traits = np.random.default_rng([107, LANGUAGES.index(subject[0])])
    vowels = "".join(traits.choice(list(VOWELS), 4, replace=False))
    consonants = "".join(traits.choice(list(CONSONANTS), 4, replace=False))
    tempo, spread = traits.uniform(3.2, 6.5), traits.uniform(0.05, 0.3)
    voice = _babble(
        rng,
        pitch=rng.uniform(90, 230),
        spread=spread * rng.uniform(0.7, 1.3),
        tempo=tempo * rng.uniform(0.9, 1.1),
        effort=rng.uniform(0.5, 0.7),
        vowels=vowels,
        consonants=consonants,
    )
    return _record(voice, rng, snr=(8, 20))


def _record(sound: Sound, rng: Generator, *, snr: tuple[float, float], gain: float = 1.0) -> Sound:
    """`sound` as a microphone has it: coloured noise at a random SNR (dB), random gain, never clipped."""
    hum = noise(len(sound) / RATE, rng, (50, 9000), slope=rng.uniform(0, 2))
    noisy = level(sound) + hum * 10 ** (-rng.uniform(*snr) / 20)
    return _limit(noisy * (0.06 * gain * 10 ** (rng.uniform(-8, 6) / 20)))


def _limit(sound: Sound) -> Sound:
    return sound * min(1.0, 0.97 / max(np.abs(sound).max(), 1e-9))


def _tract(pitch: float, rng: Generator) -> float:
    return 0.85 + pitch / 750 + rng.normal(0, 0.04)


def _speaker(rng: Generator) -> Sound:
    return _babble(
        rng,
        pitch=rng.uniform(90, 240),
        spread=rng.uniform(0.08, 0.2),
        tempo=rng.uniform(3.5, 5.5),
        effort=rng.uniform(0.5, 0.7),
        vowels="iIeaAou@",
        consonants="stdnlrfpSg",
    )


def _babble(
    rng: Generator,
    *,
    pitch: float,
    spread: float,
    tempo: float,
    effort: float,
    vowels: str,
    consonants: str,
    seconds: float = SECONDS,
) -> Sound:
    """Consonant-vowel syllables at `tempo` a second, `pitch` Hz wandering by the share `spread`."""
    phones, filled = [], 0.0
    while filled < seconds:
        share, length = rng.uniform(0.25, 0.45), rng.uniform(0.75, 1.3) / tempo
        phones.append((CONSONANTS[rng.choice(list(consonants))], share * length))
        phones.append((VOWELS[rng.choice(list(vowels))], (1 - share) * length))
        filled += length
    melody = pitch * (1 + spread * smooth_path(rng, seconds, tempo / 2))
    return speak(phones, melody, rng, tract=_tract(pitch, rng), effort=effort)


def _stroke(instrument: str, rng: Generator) -> Sound:
    size = rng.uniform(0.8, 1.25)
    spread = 10 ** rng.normal(0, 0.25, 9)
    inharmonic = np.array([1, 1.47, 1.73, 2.1, 2.66, 3.02, 3.7, 4.4, 5.3])
    if instrument == "bangu":
        drum_tone = partials(850 * size * inharmonic[:4], spread[:4], [0.03] * 4, 0.4, rng)
        return drum_tone + noise(0.4, rng, (800, 7000)) * np.exp(-clock(0.4) / 0.01)
    if instrument == "naobo":
        clash = noise(1.6, rng, (1500, 12000)) * np.exp(-clock(1.6) / rng.uniform(0.1, 0.4))
        return clash + partials(700 * size * inharmonic, 0.4 * spread, [0.25] * 9, 1.6, rng)
    pitch, glide, decay = (320.0, 0.12, 0.45) if instrument == "daluo" else (560.0, -0.09, 0.3)
    decays = decay * rng.uniform(0.5, 1.5, 9)
    gong = partials(pitch * size * inharmonic, spread, decays, 1.8, rng, glide=glide)
    return gong + 0.6 * noise(1.8, rng, (1000, 9000)) * np.exp(-clock(1.8) / 0.08)


def _repeat(one: Sound, seconds: float, rng: Generator, *, every: float, jitter: float) -> Sound:
    starts = np.arange(rng.uniform(0, min(every, seconds / 3)), seconds, every)
    moved = [max(0.0, start + jitter * rng.normal()) for start in starts]
    return place([(start, one * rng.uniform(0.6, 1.0)) for start in moved], seconds)


def _bark(rng: Generator, seconds: float) -> Sound:
    length = rng.uniform(0.12, 0.25)
    pitch = rng.uniform(250, 600) * np.linspace(1.2, 0.7, round(length * RATE))
    call = speak([(VOWELS["a"], length)], pitch, rng, tract=rng.uniform(1.0, 1.5), effort=0.4)
    return _repeat(fade(call, 0.03), seconds, rng, every=rng.uniform(0.4, 0.9), jitter=0.03)


def _cry(rng: Generator, seconds: float) -> Sound:
    wave = (
        1
        + 0.25 * np.sin(2 * np.pi * rng.uniform(0.8, 1.6) * clock(seconds))
        + 0.03 * smooth_path(rng, seconds, 20)
    )
    return speak([(VOWELS["A"], seconds)], rng.uniform(350, 550) * wave, rng, tract=1.5, effort=0.45)


def _crow(rng: Generator, seconds: float) -> Sound:
    pitch = rng.uniform(450, 700) * np.interp(
        clock(seconds), seconds * np.array([0, 0.3, 0.6, 1]), [0.7, 1.2, 1.4, 0.9]
    )
    return speak(
        [(VOWELS["@"], seconds)],
        pitch * (1 + 0.05 * smooth_path(rng, seconds, 30)),
        rng,
        tract=1.4,
        effort=0.4,
    )


def _sneeze(rng: Generator, seconds: float) -> Sound:
    inhale = 0.2 * noise(0.4, rng, (800, 5000)) * np.linspace(0, 1, round(0.4 * RATE))
    burst = noise(0.4, rng, (500, rng.uniform(5000, 9000))) * np.exp(-clock(0.4) / rng.uniform(0.05, 0.12))
    start = rng.uniform(0, seconds / 4)
    return place([(start, inhale), (start + rng.uniform(0.4, 0.6) * min(1.0, seconds), burst)], seconds)


def _clicks(rng: Generator, seconds: float, rate: float) -> Sound:
    """Short random clicks, `rate` a second: crackling, drops."""
    out = np.zeros(round(seconds * RATE))
    hits = rng.integers(0, len(out), max(1, rng.poisson(rate * seconds)))
    out[hits] += rng.exponential(1.0, len(hits)) * rng.choice([-1, 1], len(hits))
    ring = np.exp(-clock(0.004) / 0.0008) * np.sin(2 * np.pi * rng.uniform(1500, 4000) * clock(0.004))
    return np.convolve(out, ring)[: len(out)]


def _rain(rng: Generator, seconds: float) -> Sound:
    return noise(seconds, rng, (600, 10000), slope=0.5) + 0.8 * level(_clicks(rng, seconds, 400))


def _fire(rng: Generator, seconds: float) -> Sound:
    return 0.5 * noise(seconds, rng, (60, 2500), slope=1.5) + level(
        _clicks(rng, seconds, rng.uniform(15, 60))
    )


def _waves(rng: Generator, seconds: float) -> Sound:
    swell = 1 + 0.8 * np.sin(2 * np.pi * (rng.uniform(0.2, 0.6) * clock(seconds) + rng.random()))
    return noise(seconds, rng, (100, 7000), slope=rng.uniform(0.8, 1.4)) * swell


def _tick(rng: Generator, seconds: float) -> Sound:
    pitch = rng.uniform(1800, 4500)
    one = partials([pitch, 1.6 * pitch], [1, 0.6], [0.006, 0.004], 0.05, rng)
    return _repeat(one, seconds, rng, every=rng.uniform(0.22, 0.5), jitter=0.001)


def _rotor(rng: Generator, seconds: float) -> Sound:
    phase = (rng.uniform(9, 16) * clock(seconds)) % 1.0
    return noise(seconds, rng, (50, 2500), slope=1.2) * (0.2 + np.exp(-6 * phase))


def _engine(
    rng: Generator, seconds: float, pitch: tuple[float, float] = (30, 70), effort: float = 0.5
) -> Sound:
    revolutions = rng.uniform(*pitch) * (1 + 0.2 * smooth_path(rng, seconds, 1.5))
    buzz = level(
        speak([(VOWELS["o"], seconds)], revolutions, rng, tract=rng.uniform(0.6, 1.3), effort=effort)
    )
    return buzz + 0.5 * noise(seconds, rng, (100, 5000), slope=1.0)


def _chainsaw(rng: Generator, seconds: float) -> Sound:
    return _engine(rng, seconds, (80, 150), 0.3)


def _bell(rng: Generator, seconds: float) -> Sound:
    ratios = np.array([0.5, 1, 1.19, 1.5, 2, 2.74, 3.76])
    one = partials(
        rng.uniform(400, 1200) * ratios, 10 ** rng.normal(0, 0.2, 7), 0.8 / np.sqrt(ratios), seconds, rng
    )
    return _repeat(one, seconds, rng, every=rng.uniform(0.7, 1.5), jitter=0.01)


def _hiss(rng: Generator, seconds: float) -> Sound:
    return noise(seconds, rng, (rng.uniform(2500, 5000), 12000))


def _beat(rng: Generator, seconds: float) -> Sound:
    pitch = rng.uniform(70, 180)
    one = partials([pitch, 1.6 * pitch, 2.1 * pitch], [1, 0.5, 0.3], [0.15, 0.1, 0.08], 0.5, rng, glide=0.3)
    one += 0.4 * noise(0.5, rng, (300, 6000)) * np.exp(-clock(0.5) / 0.02)
    return _repeat(one, seconds, rng, every=rng.uniform(0.2, 0.5), jitter=0.005)


def _music(rng: Generator, seconds: float) -> Sound:
    tones = 220 * 2 ** ((rng.choice([0, 2, 4, 7, 9, 12, 16], 3, replace=False) + rng.uniform(0, 6)) / 12)
    order = np.arange(1, 6)
    chords = [partials(tone * order, 1 / order, 0.9 / np.sqrt(order), seconds, rng) for tone in tones]
    return place([(i * 0.25 * seconds, chord) for i, chord in enumerate(chords)], seconds)


def _singing(rng: Generator, seconds: float) -> Sound:
    notes = rng.uniform(160, 400) * (1 + 0.03 * np.sin(2 * np.pi * rng.uniform(5, 6.5) * clock(seconds)))
    phones = [(VOWELS[v], 0.45) for v in rng.choice(list("aoie"), int(seconds / 0.45) + 1)]
    return speak(phones, notes, rng, tract=rng.uniform(1.0, 1.25))


def _speech(rng: Generator, seconds: float) -> Sound:
    return _speaker(rng)[: round(seconds * RATE)]


def _water(rng: Generator, seconds: float) -> Sound:
    drops = [
        (rng.uniform(0, seconds), partials([rng.uniform(500, 2000)], [1.0], [0.02], 0.1, rng, glide=-0.4))
        for _ in range(int(25 * seconds) + 1)
    ]
    return level(place(drops, seconds)) + 0.3 * noise(seconds, rng, (300, 5000), slope=0.5)


ESC_SOURCES = {
    "chainsaw": _chainsaw,
    "clock_tick": _tick,
    "crackling_fire": _fire,
    "crying_baby": _cry,
    "dog": _bark,
    "helicopter": _rotor,
    "rain": _rain,
    "rooster": _crow,
    "sea_waves": _waves,
    "sneezing": _sneeze,
}
FSD_SOURCES = {
    "Bark": _bark,
    "Bell": _bell,
    "Crackle": _fire,
    "Drum": _beat,
    "Engine": _engine,
    "Hiss": _hiss,
    "Music": _music,
    "Rain": _rain,
    "Singing": _singing,
    "Speech": _speech,
    "Tick-tock": _tick,
    "Water": _water,
}
_SOURCES = {**ESC_SOURCES, **FSD_SOURCES}
