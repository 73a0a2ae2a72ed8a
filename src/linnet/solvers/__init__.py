"""Solvers: how an Objective is lowered over the Blocks of a Source."""
