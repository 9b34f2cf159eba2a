"""Opens, holds, drives and watches a run folder, as a RunRequest from the command line asks."""
