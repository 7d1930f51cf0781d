"""The web page: uploads and mattes for video editors, runs and frames for the team."""
