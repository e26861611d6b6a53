.env
.syncline/
__pycache__/
