"""Where the pictures of a bulk run come from: folders, CSV, Parquet and tar files, here or behind a URL."""
