"""A VM's whole interrupt state as plain records: captured, written as JSON, read and checked, built again.

records   what is kept          forms, schema   how it looks as JSON       capture   VM -> records
check     records alone         fit             records and a VM           apply     records -> VM
text      for people
"""
