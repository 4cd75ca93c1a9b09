"""What every other package stands on: errors, files, progress, processes, settings."""
