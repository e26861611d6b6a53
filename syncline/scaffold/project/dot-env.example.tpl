# Copy this file to .env, which is not committed, and write your databases into it.
#   postgresql://USER:PASSWORD@HOST:5432/DATABASE
#   mysql://USER:PASSWORD@HOST:3306/DATABASE       (MySQL and MariaDB)
#   sqlite:////ABSOLUTE/PATH.db
#   mongodb://USER:PASSWORD@HOST:27017/DATABASE
SOURCE_URL=
TARGET_URL=

# The control store: runs, waiting conflicts, dead letters. SQLite in .syncline/ if not set; a team
# shares one in PostgreSQL.
# SYNCLINE_STORE_URL=postgresql://USER:PASSWORD@HOST:5432/syncline
