"""How labels are made, compared and exchanged: no Prefect and no database in here."""
