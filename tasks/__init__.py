"""The steps: thin Prefect tasks around labeling and db."""
