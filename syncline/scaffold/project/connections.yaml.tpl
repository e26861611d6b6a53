# The databases, by name. A URL comes from the environment, or from .env beside this file: never
# write a password here.
connections:
  source: ${SOURCE_URL}
  target: ${TARGET_URL}

  # With options:
  # crm:
  #   url: ${CRM_URL}
  #   tls: verify              # verify | require | off
  #   connect_timeout: 10      # seconds
  #   statement_timeout: 300   # seconds; 0 is none
  #   pool_size: 4
