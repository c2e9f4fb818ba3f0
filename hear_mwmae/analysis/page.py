"""One page of players and pictures, which opens without a server or a network."""

from collections.abc import Sequence
from dataclasses import dataclass, field

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.title }}</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; background: white; border-radius: 4px; }
.players { display: flex; flex-wrap: wrap; gap: 1rem; margin: .5rem 0 1rem; padding: 0; }
figure { margin: 0; } figcaption { font-size: .9rem; } audio { width: 16rem; max-width: 100%; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .2rem .9rem .2rem 0; text-align: right; border-bottom: 1px solid #8886; }
th:first-child, td:first-child { text-align: left; }
.note { opacity: .75; font-size: .9rem; max-width: 48rem; }
</style>
</head>
<body>
<h1>{{ page.title }}</h1>
{% for line in page.about %}<p>{{ line }}</p>
{% endfor %}
{% for section in page.sections %}
<section>
<h2>{{ section.title }}</h2>
<p>{{ section.text }}</p>
{% if section.sounds %}<div class="players">
{% for sound in section.sounds %}<figure>
<figcaption>{{ sound.label }}</figcaption>
<audio controls preload="metadata" src="{{ sound.file }}"></audio>
</figure>
{% endfor %}</div>{% endif %}
{% if section.table %}<table>
<tr>{% for cell in section.table[0] %}<th scope="col">{{ cell }}</th>{% endfor %}</tr>
{% for row in section.table[1:] %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
<img src="{{ section.picture }}" alt="{{ section.alt }}">
</section>
{% endfor %}
{% for note in page.notes %}<p class="note">{{ note }}</p>
{% endfor %}
</body>
</html>
"""


@dataclass(frozen=True)
class Player:
    """A sound that can be played."""

    label: str
    file: str
    """Beside the page."""


@dataclass(frozen=True)
class Section:
    """What the page shows of one sound."""

    title: str
    text: str
    picture: str
    alt: str
    """What the picture shows, in words."""
    sounds: Sequence[Player] = ()
    table: Sequence[Sequence[str]] = ()
    """Its first row is the head."""


@dataclass(frozen=True)
class Page:
    """A page of one command."""

    title: str
    about: Sequence[str]
    sections: Sequence[Section]
    notes: Sequence[str] = field(default=())


def render(page: Page) -> str:
    """Return the page as HTML; every text is escaped."""
    from jinja2 import Environment

    return Environment(autoescape=True, trim_blocks=False).from_string(TEMPLATE).render(page=page)
