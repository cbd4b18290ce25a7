"""Figures of the papers: each measures, says it as a table and as json, and draws."""
