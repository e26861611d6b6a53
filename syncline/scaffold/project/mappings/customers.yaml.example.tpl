# An example, which is not loaded: only files that end in .yaml are. Copy it to customers.yaml and make
# it yours, or let `syncline map source.TABLE target.TABLE` write one from your databases.

source: {connection: source, table: public.customers}
target: {connection: target, table: public.users, create: true}   # create: make it if it is missing
key: {user_id: id}                       # target field: source column

where: region_id <> 9                    # a record that no longer satisfies this is gone

fields:                                  # target field: what it is made of
  full_name: concat_ws(' ', first_name, last_name)               # an SQL expression, row by row
  email: {sql: "lower(trim(email))", type: text}
  status: {from: is_active, values: {"true": active, "false": inactive}, else: inactive}
  balance: {from: balance, type: "decimal(14,2)"}
  country: {value: US}                   # a constant
  updated_at: updated_at

deletes: {mode: mirror, guard: 5%}       # ignore | mirror | {mode: soft, column: deleted_at}

conflicts:                               # where both sides changed a record
  strategy: merge                        # source | target | latest | merge | manual | your own file
  clock: updated_at
  fields: {status: target}

schedule: "*/5 * * * *"                  # for Dagster
