"""Opens, holds, drives and watches a run folder."""
