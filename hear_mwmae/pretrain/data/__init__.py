"""From folders of audio to batches of log-mel crops."""
