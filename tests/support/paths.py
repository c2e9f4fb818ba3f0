"""Where things lie: the checkout, HEAR modules and data for tests, references beside the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "models"
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared"
SUPPORT = ROOT / "tests" / "support"
